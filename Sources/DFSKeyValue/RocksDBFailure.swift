import CRocksDB
import DFSCore

/// What a RocksDB error means for the caller. The C API gives text only, so the text decides.
enum RocksDBFailure {
  enum Call {
    case open
    case read
    case write
    case maintenance
  }

  static func code(of text: String, during call: Call) -> DFSError.Code {
    // A sync that failed, for want of space too, leaves it open whether the record is on disk.
    if call == .write,
      text.contains("fdatasync") || text.contains("fsync") || text.contains("sync_file_range")
    {
      return .outcomeUnknown
    }
    if text.contains("No space left") || text.contains("Disk quota exceeded") || text.contains("NoSpace") {
      return .exhausted
    }
    if text.hasPrefix("Corruption") || text.contains("checksum mismatch") { return .corrupt }
    // What the medium does not give back is as bad as what it gives back wrong.
    if call == .read, text.contains("Input/output error") { return .corrupt }
    switch call {
    case .open where text.contains("does not exist"): return .notFound
    // A table or a log that the manifest names is gone.
    case .open where text.contains("No such file"): return .corrupt
    case .open, .read, .maintenance: return .unavailable
    case .write: return text.hasPrefix("Invalid argument") ? .internal : .outcomeUnknown
    }
  }

  static func error(_ text: String, during call: Call, path: String) -> DFSError {
    let what =
      switch call {
      case .open: "can not open the key-value store in \(path)"
      case .read: "can not read the key-value store in \(path)"
      case .write: "can not write to the key-value store in \(path)"
      case .maintenance: "maintenance of the key-value store in \(path) failed"
      }
    return DFSError(code(of: text, during: call), "\(what): \(text)")
  }

  /// Runs `body` with RocksDB's error slot and throws what it left there.
  static func check<Result>(
    _ call: Call, path: String, _ body: (UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> Result
  ) throws -> Result {
    var text: UnsafeMutablePointer<CChar>?
    let result = body(&text)
    guard let text else { return result }
    defer { rocksdb_free(text) }
    let message = String(cString: text)
    // `Status::Incomplete`, which a read gives when it may not ask the disk.
    if call == .read, message.hasPrefix("Result incomplete") { throw NotInMemory() }
    throw error(message, during: call, path: path)
  }
}
