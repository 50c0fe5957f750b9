; Names in JavaScript.
[(identifier) (property_identifier) (private_property_identifier) (shorthand_property_identifier)] @use
[(property_identifier) (private_property_identifier)] @member
(call_expression function: (identifier) @call)
(call_expression function: (member_expression property: (_) @call))
(new_expression constructor: (identifier) @call)
(new_expression constructor: (member_expression property: (_) @call))
(jsx_opening_element name: (identifier) @call)
(jsx_self_closing_element name: (identifier) @call)
(class_heritage (identifier) @base)
(class_heritage (member_expression property: (property_identifier) @base))
(pair key: (property_identifier) @skip)
(jsx_attribute (property_identifier) @skip)
(formal_parameters (identifier) @local)
(formal_parameters (assignment_pattern left: (identifier) @local))
(arrow_function parameter: (identifier) @local)
(rest_pattern (identifier) @local)
(shorthand_property_identifier_pattern) @local
(pair_pattern value: (identifier) @local)
(array_pattern (identifier) @local)
(variable_declarator name: (identifier) @local)
(for_in_statement left: (identifier) @local)
(catch_clause parameter: (identifier) @local)
