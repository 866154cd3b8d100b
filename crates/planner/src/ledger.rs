//! The book of addresses: who holds which, and who may share.
