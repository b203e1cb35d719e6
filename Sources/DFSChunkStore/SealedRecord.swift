import DFSCodec
import DFSCore

/// The frame around every small file of a data directory: a tag, a format version, the payload's length, the
/// payload, and a CRC32C over all of it.
struct SealedRecord {
  /// Eight characters that say what the file is.
  let tag: String
  let version: UInt32

  func seal(_ payload: [UInt8]) -> [UInt8] {
    var writer = ByteWriter()
    writer.append(Array(tag.utf8))
    writer.append(version)
    writer.append(UInt32(payload.count))
    writer.append(payload)
    writer.append(CRC32C.checksum(writer.bytes))
    return writer.bytes
  }

  /// Throws `.corrupt` for anything but an intact record of this kind, `.failedPrecondition` for one of a
  /// newer version.
  func open<Result>(
    _ bytes: [UInt8], name: String, _ body: (inout ByteReader) throws -> Result
  ) throws -> Result {
    try bytes.withUnsafeBytes { buffer in
      let tail = MemoryLayout<UInt32>.size
      guard buffer.count >= tag.utf8.count + 3 * tail, buffer.starts(with: tag.utf8) else {
        throw DFSError(.corrupt, "\(name) is no \(tag) record")
      }
      let sum = buffer.loadUnaligned(fromByteOffset: buffer.count - tail, as: UInt32.self)
      let sealed = UnsafeRawBufferPointer(rebasing: buffer.dropLast(tail))
      guard UInt32(littleEndian: sum) == CRC32C.checksum(sealed) else {
        throw DFSError(.corrupt, "\(name) fails its checksum")
      }
      var reader = ByteReader(UnsafeRawBufferPointer(rebasing: sealed.dropFirst(tag.utf8.count)))
      let found: UInt32 = try reader.number()
      guard found <= version else {
        throw DFSError(
          .failedPrecondition,
          "\(name) has format \(found), this program knows up to \(version); use a newer dfsd")
      }
      let length: UInt32 = try reader.number()
      guard Int(length) == reader.rest else { throw DFSError(.corrupt, "\(name) has a wrong length") }
      return try body(&reader)
    }
  }
}
