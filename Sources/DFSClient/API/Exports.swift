// The vocabulary of the public API (paths, digests, byte counts, errors) lives in DFSCore. Re-exported, so
// that a user of the library imports one module.
@_exported public import DFSCore
