; What TypeScript and TSX add to javascript.scm, or write otherwise.
(function_declaration name: (identifier) @name) @function
(function_signature name: (identifier) @name) @function
(generator_function_declaration name: (identifier) @name) @function
(class_declaration name: (type_identifier) @name) @class
(abstract_class_declaration name: (type_identifier) @name) @class
(interface_declaration name: (type_identifier) @name) @interface
(type_alias_declaration name: (type_identifier) @name) @type
(enum_declaration name: (identifier) @name) @enum
(internal_module name: (identifier) @name) @namespace
(method_definition name: (_) @name) @method
(method_signature name: (_) @name) @method
(abstract_method_signature name: (_) @name) @method
(public_field_definition name: (property_identifier) @name value: [(arrow_function) (function_expression)]) @method
(public_field_definition name: (property_identifier) @name) @field
(property_signature name: (property_identifier) @name) @field
(variable_declarator name: (identifier) @name value: [(arrow_function) (function_expression) (generator_function)]) @function
(variable_declarator name: (identifier) @name value: (class)) @class
(program (lexical_declaration (variable_declarator name: (identifier) @name) @variable))
(export_statement declaration: (lexical_declaration (variable_declarator name: (identifier) @name) @variable))
(export_specifier name: (identifier) @exported)
(export_statement value: (identifier) @exported)

(import_statement source: (string) @module) @import
(import_statement (import_clause (identifier) @default) source: (string) @module) @import
(import_statement (import_clause (namespace_import (identifier) @namespace)) source: (string) @module) @import
(import_statement (import_clause (named_imports (import_specifier name: (identifier) @imported !alias))) source: (string) @module) @import
(import_statement (import_clause (named_imports (import_specifier name: (identifier) @imported alias: (identifier) @alias))) source: (string) @module) @import
(import_statement (import_require_clause (identifier) @namespace source: (string) @module)) @import
(export_statement (export_clause (export_specifier name: (identifier) @imported !alias)) source: (string) @module) @import
(export_statement (export_clause (export_specifier name: (identifier) @imported alias: (identifier) @alias)) source: (string) @module) @import
(export_statement "*" @imported source: (string) @module) @import
(export_statement (namespace_export (identifier) @namespace) source: (string) @module) @import
(variable_declarator name: (identifier) @namespace value: (call_expression function: (identifier) @_require arguments: (arguments . (string) @module)) (#eq? @_require "require")) @import
(call_expression function: (identifier) @_require arguments: (arguments . (string) @module) (#eq? @_require "require")) @import
(call_expression function: (import) arguments: (arguments . (string) @module)) @import
