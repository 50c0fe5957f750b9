; Definitions and imports of Rust.
(function_item name: (identifier) @name) @function
(function_signature_item name: (identifier) @name) @function
(struct_item name: (type_identifier) @name) @struct
(union_item name: (type_identifier) @name) @struct
(enum_item name: (type_identifier) @name) @enum
(trait_item name: (type_identifier) @name) @trait
(type_item name: (type_identifier) @name) @type
(associated_type name: (type_identifier) @name) @type
(const_item name: (identifier) @name) @constant
(static_item name: (identifier) @name) @variable
(macro_definition name: (identifier) @name) @macro
(mod_item name: (identifier) @name body: (_)) @namespace
(impl_item type: [(type_identifier) @name (generic_type type: (type_identifier) @name)]) @scope

(use_declaration argument: (_) @tree) @import
(mod_item name: (identifier) @submodule !body) @import
