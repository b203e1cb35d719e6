import COpenSSL
package import DFSCore

/// HMAC-SHA-256 (RFC 2104) with one key. The key's two blocks are hashed once, so a message costs its own
/// bytes and two more blocks, and no allocation.
package struct MessageAuthenticator: Sendable {
  private var inner = SHA256()
  private var outer = SHA256()

  /// A key of any length; 32 random bytes are enough, and more gain nothing.
  package init(key: [UInt8]) {
    let blockSize = 64
    var block = key.count > blockSize ? SHA256.hash(key).bytes : key
    block.append(contentsOf: [UInt8](repeating: 0, count: blockSize - block.count))
    block.map { $0 ^ 0x36 }.withUnsafeBytes { inner.update($0) }
    block.map { $0 ^ 0x5C }.withUnsafeBytes { outer.update($0) }
  }

  package func code(for message: UnsafeRawBufferPointer) -> Digest {
    var inner = inner
    inner.update(message)
    var outer = outer
    outer.update(inner.finish())
    return outer.finish()
  }

  package func code(for message: [UInt8]) -> Digest { message.withUnsafeBytes { code(for: $0) } }

  /// Takes the same time whether and wherever the codes differ.
  package func accepts(_ code: Digest, for message: [UInt8]) -> Bool {
    self.code(for: message).equalsInConstantTime(code)
  }
}

extension Digest {
  /// Compares in a time that does not depend on the bytes: for codes and secrets.
  package func equalsInConstantTime(_ other: Digest) -> Bool {
    withUnsafeBytes { left in
      other.withUnsafeBytes { CRYPTO_memcmp(left.baseAddress, $0.baseAddress, Digest.byteCount) == 0 }
    }
  }
}

/// Compares in a time that depends on the lengths only: for codes and secrets.
package func equalInConstantTime(_ left: [UInt8], _ right: [UInt8]) -> Bool {
  guard left.count == right.count else { return false }
  return CRYPTO_memcmp(left, right, left.count) == 0
}

/// Random bytes from OpenSSL's generator, seeded by the kernel: for keys and identities.
package enum SecureRandom {
  /// Throws `.unavailable` when the generator has no entropy, which a working Linux never says.
  package static func bytes(_ count: Int) throws -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    guard RAND_bytes(&bytes, Int32(count)) == 1 else {
      throw DFSError(.unavailable, "the system's random number generator gives nothing")
    }
    return bytes
  }

  /// A random number other than zero, so that zero can mean "none" in records.
  package static func identity() throws -> UInt64 {
    while true {
      let number = try bytes(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
      if number != 0 { return number }
    }
  }
}
