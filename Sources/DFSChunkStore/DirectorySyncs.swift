import DFSCore

/// Directory syncs that concurrent writers share: who asks while one runs is served by the next one, together
/// with everybody else who asked meanwhile.
final class DirectorySyncs: Sendable {
  private struct Directory {
    /// How many syncs were asked for; the one that ends serves all that were asked for before it began.
    var asked = 0
    var served = 0
    var running = false
    var waiting = 0
    /// A failed sync is never tried again: the kernel reports a lost page once.
    var failure: DFSError?
  }

  private enum Turn {
    case lead(upTo: Int)
    case done
  }

  private let directories = Condition<[String: Directory]>([:])
  private let fileSystem: any FileSystem

  init(_ fileSystem: any FileSystem) { self.fileSystem = fileSystem }

  /// Returns when every name that was in `path` at the call is durable. Throws what the sync threw.
  func sync(_ path: String) throws {
    let ticket = directories.withLock { directories in
      directories[path, default: Directory()].asked += 1
      directories[path, default: Directory()].waiting += 1
      return directories[path, default: Directory()].asked
    }
    defer {
      directories.withLock { directories in
        directories[path, default: Directory()].waiting -= 1
        if let directory = directories[path], directory.waiting == 0, directory.failure == nil {
          directories[path] = nil
        }
      }
    }
    while case .lead(let upTo) = try turn(for: ticket, in: path) {
      let failure = Result { try fileSystem.syncDirectory(path) }.failure
      directories.withLock { directories in
        directories[path]?.running = false
        directories[path]?.served = upTo
        if let failure { directories[path]?.failure = DFSError(wrapping: failure, "can not sync \(path)") }
      }
    }
  }

  private func turn(for ticket: Int, in path: String) throws -> Turn {
    try directories.wait { directories in
      guard var directory = directories[path] else { return .done }
      if let failure = directory.failure { throw failure }
      if directory.served >= ticket { return .done }
      if directory.running { return nil }
      directory.running = true
      directories[path] = directory
      return .lead(upTo: directory.asked)
    }
  }
}

extension Result {
  fileprivate var failure: Failure? {
    if case .failure(let error) = self { return error }
    return nil
  }
}
