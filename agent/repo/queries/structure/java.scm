; Definitions and imports of Java.
(package_declaration (_) @package)
(class_declaration name: (identifier) @name) @class
(interface_declaration name: (identifier) @name) @interface
(annotation_type_declaration name: (identifier) @name) @interface
(enum_declaration name: (identifier) @name) @enum
(record_declaration name: (identifier) @name) @class
(method_declaration name: (identifier) @name) @method
(constructor_declaration name: (identifier) @name) @method
(field_declaration declarator: (variable_declarator name: (identifier) @name)) @field
(constant_declaration declarator: (variable_declarator name: (identifier) @name)) @constant

(import_declaration (scoped_identifier) @module . ";") @import
(import_declaration (identifier) @module . ";") @import
(import_declaration (_) @module (asterisk) @imported) @import
