//! A network of namespaces in which the binary meets real clients, routers and faults.
