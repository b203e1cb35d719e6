package import DFSCore

/// How much a namespace holds.
package struct NamespaceCounts: Sendable, Hashable {
  /// Visible ones, and those of a removed tree, in the trash or not, until the reaper has met them; `/` counts
  /// as a directory.
  package var files: UInt64 = 0
  package var directories: UInt64 = 0
  /// Chunks of visible files, and the sum of those files' lengths.
  package var chunks: UInt64 = 0
  package var bytes: ByteCount = .zero
  /// Versions, uploads and trees that wait to be reaped.
  package var condemned: UInt64 = 0
  package var openUploads: UInt64 = 0
  /// Deletions in the trash.
  package var trash: UInt64 = 0

  package init() {}
}
