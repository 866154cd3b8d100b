//! What it means: objects become facts, and every problem is named with its field.
