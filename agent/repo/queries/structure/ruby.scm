; Definitions and requires of Ruby.
(method name: (_) @name) @function
(singleton_method name: (_) @name) @function
(class name: [(constant) @name (scope_resolution name: (constant) @name)]) @class
(module name: [(constant) @name (scope_resolution name: (constant) @name)]) @namespace
(program (assignment left: (constant) @name) @constant)
(body_statement (assignment left: (constant) @name) @constant)

(call method: (identifier) @_require arguments: (argument_list . (string) @module) (#any-of? @_require "require" "load")) @import
(call method: (identifier) @relative arguments: (argument_list . (string) @module) (#eq? @relative "require_relative")) @import
(call method: (identifier) @_autoload arguments: (argument_list (simple_symbol) @imported (string) @module) (#eq? @_autoload "autoload")) @import
