package import DFSCore

/// Asks for one page of a listing.
package struct ListRequest: Sendable, Hashable {
  package enum Depth: UInt8, Sendable, Hashable {
    case children = 1
    /// Everything beneath, each directory before what is in it, names in byte order.
    case recursive = 2
  }

  package var path: RemotePath
  package var depth: Depth
  /// Go on after this entry: `ListPage.next`'s.
  package var after: RemotePath?
  /// The snapshot to go on with: `ListPage.next`'s.
  package var snapshot: UInt64?
  /// At most `Limits.listEntries`.
  package var limit: Int

  package init(
    path: RemotePath, depth: Depth = .children, after: RemotePath? = nil, snapshot: UInt64? = nil,
    limit: Int = Limits.listEntries
  ) {
    self.path = path
    self.depth = depth
    self.after = after
    self.snapshot = snapshot
    self.limit = limit
  }
}

package struct ListPage: Sendable {
  package struct Entry: Sendable, Hashable {
    package var path: RemotePath
    package var status: EntryStatus
  }
  package struct Continuation: Sendable, Hashable {
    package var after: RemotePath
    package var snapshot: UInt64
  }

  package var entries: [Entry]
  package var revision: Revision
  /// The snapshot of the page before is gone: this page and the next ones show a later revision.
  package var isLaterRevision: Bool
  package var next: Continuation?
}
