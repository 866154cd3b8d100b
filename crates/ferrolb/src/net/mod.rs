//! Clock and sockets: the only unsafe code.
