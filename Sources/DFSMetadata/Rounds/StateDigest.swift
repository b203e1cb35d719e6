/// A sum over the keys and values of a store that does not depend on their order: adding what is put and
/// subtracting what it replaces keeps it up to date, and a full scan gives the same sum. Finds faults and
/// divergence, not forgery.
package struct StateDigest: Hashable, Sendable {
  var high: UInt64
  var low: UInt64

  package static let zero = StateDigest(high: 0, low: 0)

  init(high: UInt64, low: UInt64) {
    self.high = high
    self.low = low
  }

  /// Of one key and its value.
  init(key: [UInt8], value: [UInt8]) {
    self = key.withUnsafeBytes { key in value.withUnsafeBytes { StateDigest(key: key, value: $0) } }
  }

  init(key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer) {
    var mixer = Mixer()
    mixer.add(UInt64(key.count))
    mixer.add(key)
    mixer.add(value)
    self.init(high: mixer.first, low: mixer.second)
    high = Mixer.fold(high ^ UInt64(value.count), Mixer.third)
    low = Mixer.fold(low &+ high, Mixer.fourth)
  }

  static func += (sum: inout Self, term: Self) {
    let (low, carry) = sum.low.addingReportingOverflow(term.low)
    sum = Self(high: sum.high &+ term.high &+ (carry ? 1 : 0), low: low)
  }

  static func -= (sum: inout Self, term: Self) {
    let (low, borrow) = sum.low.subtractingReportingOverflow(term.low)
    sum = Self(high: sum.high &- term.high &- (borrow ? 1 : 0), low: low)
  }

  /// Two lanes of multiply-and-fold over eight bytes at a time.
  private struct Mixer {
    // Odd constants with half of their bits set, so that a product spreads over both words.
    static let one: UInt64 = 0x9E37_79B9_7F4A_7C15
    static let two: UInt64 = 0xC2B2_AE3D_27D4_EB4F
    static let third: UInt64 = 0x1656_67B1_9E37_79F9
    static let fourth: UInt64 = 0xD6E8_FEB8_6659_FD93

    var first: UInt64 = 0x2545_F491_4F6C_DD1D
    var second: UInt64 = 0x8535_21E8_AF3B_92A7

    static func fold(_ left: UInt64, _ right: UInt64) -> UInt64 {
      let product = left.multipliedFullWidth(by: right)
      return product.high ^ product.low
    }

    mutating func add(_ word: UInt64) {
      first = Self.fold(first ^ word, Self.one) &+ second
      second = Self.fold(second &+ word, Self.two) ^ first
    }

    mutating func add(_ bytes: UnsafeRawBufferPointer) {
      var offset = 0
      while offset + 8 <= bytes.count {
        add(UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)))
        offset += 8
      }
      var rest: UInt64 = 1
      while offset < bytes.count {
        rest = rest << 8 | UInt64(bytes[offset])
        offset += 1
      }
      add(rest)
    }
  }
}

extension RecordWriter {
  mutating func stateDigest(_ value: StateDigest) {
    fixed(value.high)
    fixed(value.low)
  }
}

extension RecordReader {
  mutating func stateDigest() throws -> StateDigest { StateDigest(high: try fixed(), low: try fixed()) }
}
