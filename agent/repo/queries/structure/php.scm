; Definitions and uses of PHP.
(namespace_definition name: (namespace_name) @package)
(function_definition name: (name) @name) @function
(class_declaration name: (name) @name) @class
(interface_declaration name: (name) @name) @interface
(trait_declaration name: (name) @name) @trait
(enum_declaration name: (name) @name) @enum
(method_declaration name: (name) @name) @method
(const_declaration (const_element (name) @name)) @constant
(property_declaration (property_element name: (variable_name (name) @name))) @field

(namespace_use_declaration !body (namespace_use_clause !alias [(qualified_name) (name)] @module)) @import
(namespace_use_declaration !body (namespace_use_clause [(qualified_name) (name)] @module alias: (name) @alias)) @import
(namespace_use_declaration (namespace_name) @prefix body: (namespace_use_group (namespace_use_clause !alias [(qualified_name) (name)] @module))) @import
(namespace_use_declaration (namespace_name) @prefix body: (namespace_use_group (namespace_use_clause [(qualified_name) (name)] @module alias: (name) @alias))) @import
[(include_expression (_) @file) (include_once_expression (_) @file) (require_expression (_) @file) (require_once_expression (_) @file)] @import
