//! The loop of one node: facts, plan, engines.
