"""What other agents may ask of Dovetail over the Model Context Protocol."""
