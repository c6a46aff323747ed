"""A CDA understood: header, people, sections, and one builder for each kind of entry."""
