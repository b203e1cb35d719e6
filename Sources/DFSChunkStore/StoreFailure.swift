import DFSCore
import Synchronization

/// Remembers the first failure after which the disk is not trusted with writes any more.
final class StoreFailure: Sendable {
  private let first = Mutex<DFSError?>(nil)

  var health: StoreHealth { first.withLock { $0.map { .failed($0) } ?? .writable } }

  /// Throws `.unavailable` once the disk has failed.
  func requireWritable() throws {
    guard let error = first.withLock({ $0 }) else { return }
    throw DFSError(.unavailable, "the disk takes no more writes since it failed", cause: error)
  }

  func note(_ error: DFSError) { first.withLock { $0 = $0 ?? error } }

  /// Runs calls that change the disk. Errors other than a full disk or a name that is taken or gone end all
  /// writing: what the kernel holds may never reach the disk, and asking again would not tell.
  func watching<Result>(_ body: () throws -> Result) throws -> Result {
    do { return try body() } catch let error as DFSError {
      switch error.code {
      case .outcomeUnknown, .unavailable, .internal: note(error)
      default: break
      }
      throw error
    }
  }
}
