//! Session hosts and their clients.
