; Definitions and imports of JavaScript.
(function_declaration name: (identifier) @name) @function
(generator_function_declaration name: (identifier) @name) @function
(class_declaration name: (identifier) @name) @class
(method_definition name: (_) @name) @method
(field_definition property: (property_identifier) @name value: [(arrow_function) (function_expression)]) @method
(variable_declarator name: (identifier) @name value: [(arrow_function) (function_expression) (generator_function)]) @function
(variable_declarator name: (identifier) @name value: (class)) @class
(assignment_expression left: (member_expression property: (property_identifier) @name) right: [(arrow_function) (function_expression)]) @function
(program (lexical_declaration (variable_declarator name: (identifier) @name) @variable))
(program (variable_declaration (variable_declarator name: (identifier) @name) @variable))
(export_statement declaration: (lexical_declaration (variable_declarator name: (identifier) @name) @variable))
(export_specifier name: (identifier) @exported)
(export_statement value: (identifier) @exported)
(assignment_expression left: (member_expression object: (identifier) @_module property: (property_identifier) @_exports) right: (object (shorthand_property_identifier) @exported) (#eq? @_module "module") (#eq? @_exports "exports"))
(assignment_expression left: (member_expression object: (identifier) @_module property: (property_identifier) @_exports) right: (identifier) @exported (#eq? @_module "module") (#eq? @_exports "exports"))

(import_statement source: (string) @module) @import
(import_statement (import_clause (identifier) @default) source: (string) @module) @import
(import_statement (import_clause (namespace_import (identifier) @namespace)) source: (string) @module) @import
(import_statement (import_clause (named_imports (import_specifier name: (identifier) @imported !alias))) source: (string) @module) @import
(import_statement (import_clause (named_imports (import_specifier name: (identifier) @imported alias: (identifier) @alias))) source: (string) @module) @import
(export_statement (export_clause (export_specifier name: (identifier) @imported !alias)) source: (string) @module) @import
(export_statement (export_clause (export_specifier name: (identifier) @imported alias: (identifier) @alias)) source: (string) @module) @import
(export_statement "*" @imported source: (string) @module) @import
(export_statement (namespace_export (identifier) @namespace) source: (string) @module) @import
(variable_declarator name: (identifier) @namespace value: (call_expression function: (identifier) @_require arguments: (arguments . (string) @module)) (#eq? @_require "require")) @import
(variable_declarator name: (object_pattern (shorthand_property_identifier_pattern) @imported) value: (call_expression function: (identifier) @_require arguments: (arguments . (string) @module)) (#eq? @_require "require")) @import
(variable_declarator name: (object_pattern (pair_pattern key: (property_identifier) @imported value: (identifier) @alias)) value: (call_expression function: (identifier) @_require arguments: (arguments . (string) @module)) (#eq? @_require "require")) @import
(call_expression function: (identifier) @_require arguments: (arguments . (string) @module) (#eq? @_require "require")) @import
(call_expression function: (import) arguments: (arguments . (string) @module)) @import
