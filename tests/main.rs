//! The tests of the whole: one binary, files by behaviour.

// What a wrong configuration says, word by word and column by column.
mod config_errors;
// The files under `config/`, and that they name every key at its default.
mod reference;
