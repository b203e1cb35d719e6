/// A number of bytes: never a count of blocks, chunks or files.
public struct ByteCount: RawRepresentable, Hashable, Sendable, Comparable, AdditiveArithmetic {
  public var rawValue: Int64
  public init(rawValue: Int64) { self.rawValue = rawValue }
  public init(_ value: some BinaryInteger) { rawValue = Int64(value) }

  public static let zero = ByteCount(rawValue: 0)
  public static func kib(_ count: Int) -> ByteCount { ByteCount(count << 10) }
  public static func mib(_ count: Int) -> ByteCount { ByteCount(count << 20) }
  public static func gib(_ count: Int) -> ByteCount { ByteCount(count << 30) }

  public static func + (left: Self, right: Self) -> Self { Self(rawValue: left.rawValue + right.rawValue) }
  public static func - (left: Self, right: Self) -> Self { Self(rawValue: left.rawValue - right.rawValue) }
  public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }

  /// The sum, or the largest count there is: for numbers that others report, which may be anything.
  public func addingSaturated(_ other: Self) -> Self {
    let (sum, overflow) = rawValue.addingReportingOverflow(other.rawValue)
    return Self(rawValue: overflow ? (other.rawValue < 0 ? .min : .max) : sum)
  }
  public var int: Int { Int(rawValue) }
}

extension ByteCount: CustomStringConvertible {
  /// With a binary unit and at most one decimal: `512 B`, `8 MiB`, `1.5 GiB`.
  public var description: String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]
    var value = Double(rawValue)
    var unit = 0
    while value.magnitude >= 1024, unit < units.count - 1 {
      value /= 1024
      unit += 1
    }
    let tenths = (value * 10).rounded() / 10
    return tenths == tenths.rounded() ? "\(Int64(tenths)) \(units[unit])" : "\(tenths) \(units[unit])"
  }

  /// Reads `4096`, `64KiB`, `8 MiB`, `1GiB`; units are binary. `nil` for anything else or an overflow.
  public init?(_ text: some StringProtocol) {
    let digits = text.prefix { $0.isASCII && $0.isNumber }
    let unit = text.dropFirst(digits.count).drop { $0 == " " }.lowercased()
    let shifts: [String: Int] = [
      "": 0, "b": 0, "k": 10, "kib": 10, "m": 20, "mib": 20, "g": 30, "gib": 30, "t": 40, "tib": 40,
    ]
    guard let count = Int64(digits), let shift = shifts[unit] else { return nil }
    let (value, overflow) = count.multipliedReportingOverflow(by: 1 << Int64(shift))
    guard !overflow else { return nil }
    rawValue = value
  }
}
