import DFSCore
import DFSRPC
import DFSWire
import Foundation

extension DFSClient {
  /// One page of what was at or below `path` and can be had back, in order of expiry.
  public func trashPage(
    below path: RemotePath = .root, after token: PageToken? = nil, size: Int = 1000
  ) async throws -> TrashPage {
    try await operation { [connection] in
      var request = WireListTrashRequest()
      if !path.isRoot { request.path = path.description }
      request.pageSize = UInt32(clamping: size)
      request.page = token?.bytes ?? Data()
      let answer = try await connection.read(CoordinatorMethods.listTrash, request)
      return TrashPage(
        entries: try answer.entries.map { try TrashEntry($0) },
        next: answer.nextPage.isEmpty ? nil : PageToken(bytes: answer.nextPage))
    }
  }

  /// All of it, page after page.
  public func trash(below path: RemotePath = .root) -> TrashListing { TrashListing(client: self, path: path) }

  /// Gives what was removed or replaced a name again: `target`, or its old place. The name must be free.
  ///
  /// Throws `.notFound` for a deletion that is not in the trash any more, `.alreadyExists`, and
  /// `.failedPrecondition` when its directory is gone too.
  @discardableResult
  public func undelete(_ deletion: DeletionID, to target: RemotePath? = nil) async throws -> Undeletion {
    try await operation { [connection] in
      let answer = try await connection.mutate(CoordinatorMethods.undelete) { id in
        var request = WireUndeleteRequest()
        request.requestID = id
        request.deletion = deletion.description
        request.target = target?.description ?? ""
        return request
      }
      connection.saw(revision: answer.revision)
      return Undeletion(path: answer.path, attributes: try FileAttributes(answer.attributes))
    }
  }

  /// Ends the time of deletions in the trash: they never come back. Gives the number of those that were there;
  /// one that is gone already is no error.
  @discardableResult
  public func purge(_ deletions: some Sequence<DeletionID> & Sendable) async throws -> UInt64 {
    try await operation { [connection] in
      var purged: UInt64 = 0
      var request = WirePurgeTrashRequest()
      func send() async throws {
        let answer = try await connection.read(CoordinatorMethods.purgeTrash, request)
        connection.saw(revision: answer.revision)
        purged += answer.purged
        request.deletions = []
      }
      for deletion in deletions {
        request.deletions.append(deletion.description)
        if request.deletions.count == 1000 { try await send() }
      }
      if !request.deletions.isEmpty { try await send() }
      return purged
    }
  }

  /// Ends the time of everything that is in the trash when the call arrives.
  @discardableResult
  public func emptyTrash() async throws -> UInt64 {
    try await operation { [connection] in
      var request = WirePurgeTrashRequest()
      request.all = true
      // Millions take a while, all in one call.
      let answer = try await connection.read(
        CoordinatorMethods.purgeTrash, request, attempt: .seconds(600))
      connection.saw(revision: answer.revision)
      return answer.purged
    }
  }
}

/// What is in the trash, fetched page by page as it is taken.
public struct TrashListing: AsyncSequence, Sendable {
  public typealias Element = TrashEntry
  public typealias Failure = any Error

  fileprivate let client: DFSClient
  fileprivate let path: RemotePath

  public struct AsyncIterator: AsyncIteratorProtocol {
    private let listing: TrashListing
    private var entries: ArraySlice<TrashEntry> = []
    private var next: PageToken?
    private var isStarted = false

    fileprivate init(_ listing: TrashListing) { self.listing = listing }

    public mutating func next() async throws -> TrashEntry? {
      while entries.isEmpty {
        if isStarted, next == nil { return nil }
        let page = try await listing.client.trashPage(below: listing.path, after: next)
        isStarted = true
        entries = page.entries[...]
        next = page.next
      }
      return entries.removeFirst()
    }
  }

  public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(self) }
}

extension TrashEntry {
  /// Throws `.corrupt` for what no coordinator may send.
  fileprivate init(_ wire: WireTrashEntry) throws {
    guard let deletion = DeletionID(wire.deletion) else {
      throw DFSError(.corrupt, "the coordinator sends a deletion without a valid name")
    }
    func time(_ milliseconds: UInt64) -> Timestamp {
      let (value, isTooMuch) = Int64(clamping: milliseconds).multipliedReportingOverflow(by: 1_000_000)
      return Timestamp(rawValue: isTooMuch ? .max : value)
    }
    self.init(
      deletion: deletion, path: wire.path, kind: wire.type == .directory ? .directory : .file,
      length: ByteCount(clamping: wire.length), deleted: time(wire.deletedMs), expires: time(wire.expiresMs),
      cause: wire.cause == .replaced ? .replaced : .removed, inode: InodeID(rawValue: wire.inode))
  }
}
