import COpenSSL
package import DFSCore

/// SHA-256 (FIPS 180-4) by OpenSSL's code, which uses the processor's SHA instructions. A value without a
/// heap allocation: copying it forks the computation.
package struct SHA256: Sendable {
  private var context = SHA256_CTX()

  package init() { SHA256_Init(&context) }

  package mutating func update(_ bytes: UnsafeRawBufferPointer) {
    SHA256_Update(&context, bytes.baseAddress, bytes.count)
  }

  package mutating func update(_ byte: UInt8) {
    withUnsafeBytes(of: byte) { update($0) }
  }

  package mutating func update(_ digest: Digest) {
    digest.withUnsafeBytes { update($0) }
  }

  /// The digest of everything so far; ends the computation.
  package mutating func finish() -> Digest {
    withUnsafeTemporaryAllocation(of: UInt8.self, capacity: Digest.byteCount) { digest in
      SHA256_Final(digest.baseAddress, &context)
      return Digest(loading: UnsafeRawBufferPointer(digest))
    }
  }

  package static func hash(_ bytes: UnsafeRawBufferPointer) -> Digest {
    var hash = SHA256()
    hash.update(bytes)
    return hash.finish()
  }

  package static func hash(_ bytes: [UInt8]) -> Digest { bytes.withUnsafeBytes { hash($0) } }
}
