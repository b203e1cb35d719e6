import Foundation

/// A file system of its own for one datanode, mounted for one test, which can be filled to the last block. It
/// lies in memory: quick, and what a killed process has written is still there. Needs root.
package final class SmallDisk: Sendable {
  private let directory: TemporaryDirectory
  /// Where it is mounted.
  package var path: String { directory.path + "/mount" }

  /// `owner` may write to it.
  package init(mebibytes: Int, owner: Int = 0) throws {
    directory = try TemporaryDirectory("dfs-disk")
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    try runAsRoot([
      "mount", "-t", "tmpfs", "-o", "size=\(mebibytes)m,mode=755,uid=\(owner),gid=\(owner)", "tmpfs", path,
    ])
  }

  deinit { try? runAsRoot(["umount", "-l", path]) }

  /// Leaves not one block free.
  package func fill() throws {
    let filler = open(path + "/filler", O_CREAT | O_WRONLY | O_CLOEXEC, 0o644)
    guard filler >= 0 else { throw POSIXError(.EIO) }
    defer { close(filler) }
    var length = off_t(0)
    for step in [1 << 24, 1 << 20, 1 << 16, 1 << 12] as [off_t] {
      while posix_fallocate(filler, length, step) == 0 { length += step }
    }
  }

  /// Gives back what `fill` took.
  package func empty() { unlink(path + "/filler") }
}
