//! Where objects come from.
//!
//! [`files`] reads a directory of Kubernetes manifests and [`watch`] says when it changed. Both
//! hand out typed [`object::Objects`]; what is wrong with a file is a [`document::FileProblem`].
//! [`pin`] is the way back: it writes an address into the status of a manifest. [`locate`] finds the
//! place of a field in the text of a manifest.

pub mod document;
pub mod files;
pub mod kube;
pub mod locate;
pub mod object;
pub mod pin;
pub mod secret;
mod tree;
pub mod watch;
