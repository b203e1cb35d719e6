import DFSCore
import Glibc

/// The last round that was acknowledged, kept in a small file beside the database.
///
/// The database takes a log that was cut off for one whose end was never synced, and an emptied directory for a
/// new one. This file tells them apart: a store that ends before the round named here has lost something, and
/// must not be served.
///
/// Written after its round is durable and never synced, so it costs next to nothing. After a loss of power it
/// may be behind the database, which protects less for that moment; it is never ahead.
package final class LastRound: Sendable {
  private static let tag: UInt64 = 0x3120_646e_7572_6664

  package let path: String
  private let descriptor: Int32

  /// Makes the file when it is missing. Throws `.failedPrecondition` when it cannot be opened.
  package init(path: String) throws {
    self.path = path
    descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else {
      throw DFSError(.failedPrecondition, "\(path) can not be opened: \(String(cString: strerror(errno)))")
    }
  }

  deinit { close(descriptor) }

  /// Remembers a round that is durable. A failure leaves an older one there, which only protects less.
  func note(_ mark: RoundMark) {
    let fields = [Self.tag, mark.round, mark.term, Self.tag ^ mark.round ^ mark.term].map(\.littleEndian)
    fields.withUnsafeBytes { _ = pwrite(descriptor, $0.baseAddress, $0.count, 0) }
  }

  /// Throws `.corrupt` when `mark`, where the store ends, comes before what was acknowledged.
  func check(_ mark: RoundMark) throws {
    guard let noted = read(), noted.round > mark.round else { return }
    throw DFSError(
      .corrupt,
      "the metadata ends with round \(mark.round), and \(path) says that round \(noted.round) was acknowledged: "
        + "its last changes are lost; if you know that and want to go on without them, remove \(path)",
      metadata: ["round": "\(mark.round)", "acknowledged": "\(noted.round)"])
  }

  /// What is noted; `nil` when the file is new or not whole.
  private func read() -> RoundMark? {
    var fields = [UInt64](repeating: 0, count: 4)
    let count = fields.withUnsafeMutableBytes { pread(descriptor, $0.baseAddress, $0.count, 0) }
    fields = fields.map { UInt64(littleEndian: $0) }
    guard count == 32, fields[0] == Self.tag, fields[3] == fields[0] ^ fields[1] ^ fields[2] else {
      return nil
    }
    return RoundMark(term: fields[2], round: fields[1])
  }
}
