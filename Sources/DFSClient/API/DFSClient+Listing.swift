import DFSCore
import DFSRPC
import DFSWire
import Foundation

/// Names the next page of a listing. Opaque.
public struct PageToken: Sendable, Hashable {
  let bytes: Data
}

/// One page of a directory or of a whole tree.
public struct DirectoryPage: Sendable {
  public var entries: [DirectoryEntry]
  /// Nothing after the last page.
  public var next: PageToken?
  /// Pages with the same revision show one moment.
  public var revision: Revision
  /// The moment of the page before is gone, and this page goes on at a newer one.
  public var isSnapshotLost: Bool
}

extension DFSClient {
  /// One page of a directory's entries, in byte order of name; recursive, of everything below in order of
  /// path. A file is listed alone.
  public func page(
    of path: RemotePath, recursive: Bool = false, after token: PageToken? = nil, size: Int = 1000
  ) async throws -> DirectoryPage {
    try await operation { [connection] in
      var request = WireListRequest()
      request.path = path.description
      request.recursive = recursive
      request.pageSize = UInt32(clamping: size)
      request.page = token?.bytes ?? Data()
      let answer = try await connection.read(CoordinatorMethods.list, request)
      connection.saw(revision: answer.revision)
      return DirectoryPage(
        entries: try answer.entries.map {
          DirectoryEntry(path: $0.path, attributes: try FileAttributes($0.attributes))
        },
        next: answer.nextPage.isEmpty ? nil : PageToken(bytes: answer.nextPage),
        revision: Revision(rawValue: answer.revision), isSnapshotLost: answer.snapshotLost)
    }
  }

  /// All entries, page after page.
  public func entries(of path: RemotePath, recursive: Bool = false) -> DirectoryListing {
    DirectoryListing(client: self, path: path, recursive: recursive)
  }
}

/// The entries of a directory or a tree, fetched page by page as they are taken.
public struct DirectoryListing: AsyncSequence, Sendable {
  public typealias Element = DirectoryEntry
  public typealias Failure = any Error

  fileprivate let client: DFSClient
  fileprivate let path: RemotePath
  fileprivate let recursive: Bool

  public struct AsyncIterator: AsyncIteratorProtocol {
    private let listing: DirectoryListing
    private var entries: ArraySlice<DirectoryEntry> = []
    private var next: PageToken?
    private var isStarted = false

    fileprivate init(_ listing: DirectoryListing) { self.listing = listing }

    public mutating func next() async throws -> DirectoryEntry? {
      while entries.isEmpty {
        if isStarted, next == nil { return nil }
        let page = try await listing.client.page(of: listing.path, recursive: listing.recursive, after: next)
        isStarted = true
        entries = page.entries[...]
        next = page.next
      }
      return entries.removeFirst()
    }
  }

  public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(self) }
}
