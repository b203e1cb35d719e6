import DFSCore
import DFSCrypto
import Foundation
import NIOCore

/// Computes of local bytes what the cluster keeps of stored ones.
public enum LocalHash {
  /// The Merkle root of a local file: equal to `FileAttributes.root` when the contents are. `-` reads
  /// standard input. Blocks the calling thread.
  public static func root(ofFile path: String) throws -> Digest {
    let file = path == "-" ? LocalFile(borrowing: 0, name: "standard input") : try LocalFile(reading: path)
    if try file.state().isDirectory {
      throw DFSError(.failedPrecondition, "\(path) is a directory", metadata: ["path": path])
    }
    var hasher = MerkleHasher()
    var buffer = ByteBuffer()
    while true {
      buffer.clear()
      guard try file.readNext(into: &buffer, count: 1 << 20) > 0 else { return hasher.finish() }
      buffer.withUnsafeReadableBytes { hasher.update($0) }
    }
  }
}
