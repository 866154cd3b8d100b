//! What users write: one file a kind.
