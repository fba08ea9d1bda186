//! What an author imports.
