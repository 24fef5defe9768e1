//! Pseudo-terminals, process groups and terminal modes.
