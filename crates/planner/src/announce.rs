//! Which addresses one node announces.
