import CISAL

/// CRC-32C (Castagnoli, RFC 3720 B.4) by ISA-L: the checksum of every block, on the wire and on disk.
package struct CRC32C: Sendable {
  // ISA-L's raw state: not inverted, so that a later call can go on from it.
  private var state: UInt32 = 0xFFFF_FFFF

  package init() {}

  package mutating func update(_ bytes: UnsafeRawBufferPointer) {
    var rest = bytes
    while let start = rest.baseAddress, !rest.isEmpty {
      let count = min(rest.count, 1 << 30)
      // SAFETY: `crc32_iscsi` takes a non-const pointer but only reads.
      let buffer = UnsafeMutablePointer(mutating: start.assumingMemoryBound(to: UInt8.self))
      state = crc32_iscsi(buffer, Int32(count), state)
      rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(count))
    }
  }

  /// The checksum of everything so far.
  package var value: UInt32 { ~state }

  package static func checksum(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
    var checksum = CRC32C()
    checksum.update(bytes)
    return checksum.value
  }

  package static func checksum(_ bytes: [UInt8]) -> UInt32 { bytes.withUnsafeBytes { checksum($0) } }
}
