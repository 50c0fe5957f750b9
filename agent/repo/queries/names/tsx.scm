; What JSX adds to the names of typescript.scm.
(jsx_opening_element name: (identifier) @call)
(jsx_self_closing_element name: (identifier) @call)
(jsx_attribute (property_identifier) @skip)
