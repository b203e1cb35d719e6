package import DFSCore

/// Why something is in the trash.
package enum TrashCause: UInt8, Sendable, Hashable {
  case removed = 1
  /// A write or a rename gave its name to another version.
  case replaced = 2
}

/// Whether what is removed can be had back.
package enum Disposal: UInt8, Sendable, Hashable {
  /// For `NamespaceConfiguration.trashRetention`.
  case trash = 1
  /// Never: it is condemned at once.
  case now = 2
}

/// One deletion that can be undone.
package struct TrashEntry: Sendable, Hashable {
  package var deletion: DeletionID
  /// Where it was; its directory as that is called now, or as it was called when that is gone too.
  package var path: RemotePath
  /// A directory stands for everything beneath it.
  package var kind: EntryKind
  /// Of a file.
  package var length: ByteCount
  package var deleted: ClusterTime
  package var cause: TrashCause
  package var inode: InodeID

  package var expires: ClusterTime { deletion.expires }
}

package struct TrashPage: Sendable, Hashable {
  /// In order of expiry. May be empty though there is a next page.
  package var entries: [TrashEntry]
  /// Go on after this deletion; `nil` at the end.
  package var next: DeletionID?
}

/// What purging a deletion would give back.
package struct TrashCost: Sendable, Hashable {
  package var deletion: DeletionID
  /// On all disks; `nil` for a tree, which nobody has counted.
  package var stored: ByteCount?

  package init(deletion: DeletionID, stored: ByteCount?) {
    self.deletion = deletion
    self.stored = stored
  }
}

extension DeletionID {
  init(_ expires: ClusterTime, serial: UInt64) { self.init(expiry: expires.sortable, serial: serial) }

  /// By the cluster's clock.
  package var expires: ClusterTime { ClusterTime(rawValue: Int64(clamping: expiry)) }
}
