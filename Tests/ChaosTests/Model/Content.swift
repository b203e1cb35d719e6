/// The bytes of one version of a file, derived from a seed, so that every byte that is read can be checked
/// and told from every other version's.
struct Content: Hashable, Sendable, CustomStringConvertible {
  let seed: UInt64
  let length: Int

  /// Seed and length stand at the beginning, so a file shorter than this could not say whose it is.
  static let shortest = 16
  /// The bytes repeat after this, but for the number of each.
  private static let block = 1 << 16

  static let empty = Content(seed: 0, length: 0)

  init(seed: UInt64, length: Int) {
    precondition(length == 0 || length >= Self.shortest, "a content is empty or says who it is")
    self.seed = length == 0 ? 0 : seed
    self.length = length
  }

  var description: String {
    length == 0 ? "empty" : "\(String(seed, radix: 16)) of \(length) bytes"
  }

  var bytes: [UInt8] {
    guard length > 0 else { return [] }
    let template = Self.words(seed, count: (min(Self.block, length) + 7) / 8)
    return [UInt8](unsafeUninitializedCapacity: length) { buffer, count in
      template.withUnsafeBytes { template in
        for start in stride(from: 0, to: length, by: Self.block) {
          let size = min(Self.block, length - start)
          UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(buffer)[start..<start + size])
            .copyMemory(from: UnsafeRawBufferPointer(rebasing: template[..<size]))
          // Shows blocks that change places.
          if size >= 24 { Self.store(UInt64(start) ^ seed, in: buffer, at: start + 16) }
        }
      }
      Self.store(seed, in: buffer, at: 0)
      Self.store(UInt64(length), in: buffer, at: 8)
      count = length
    }
  }

  private static func words(_ seed: UInt64, count: Int) -> [UInt64] {
    var state = seed
    return (0..<count).map { _ in
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return state ^ (state >> 29)
    }
  }

  private static func store(_ value: UInt64, in buffer: UnsafeMutableBufferPointer<UInt8>, at start: Int) {
    for index in 0..<8 { buffer[start + index] = UInt8(truncatingIfNeeded: value >> UInt64(8 * index)) }
  }

  /// Whose bytes these are; `nil` when they are nobody's, or one of them is wrong.
  init?(recognizing bytes: [UInt8]) {
    guard !bytes.isEmpty else {
      self = .empty
      return
    }
    guard bytes.count >= Self.shortest else { return nil }
    func number(at start: Int) -> UInt64 {
      (0..<8).reduce(0) { $0 | UInt64(bytes[start + $1]) << (8 * UInt64($1)) }
    }
    guard number(at: 8) == UInt64(bytes.count) else { return nil }
    self.init(seed: number(at: 0), length: bytes.count)
    guard self.bytes == bytes else { return nil }
  }
}
