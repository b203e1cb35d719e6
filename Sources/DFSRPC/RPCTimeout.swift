import DFSCore

/// The `grpc-timeout` header: at most eight digits and a unit, `H M S m u n`.
package enum RPCTimeout {
  /// Reads a header of a peer. Throws `.invalidArgument` for anything but digits and one unit.
  package static func decode(_ text: String) throws -> Duration {
    let characters = text.utf8
    guard let unit = characters.last, (2...9).contains(characters.count),
      characters.dropLast().allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }),
      let value = Int64(text.dropLast())
    else { throw malformed(text) }
    switch unit {
    case UInt8(ascii: "H"): return .seconds(value * 3600)
    case UInt8(ascii: "M"): return .seconds(value * 60)
    case UInt8(ascii: "S"): return .seconds(value)
    case UInt8(ascii: "m"): return .milliseconds(value)
    case UInt8(ascii: "u"): return .microseconds(value)
    case UInt8(ascii: "n"): return .nanoseconds(value)
    default: throw malformed(text)
    }
  }

  /// Writes `timeout` in the finest unit that eight digits can hold, rounded up: the peer must not give up
  /// before the caller does. Nothing left is written as `0n`; more than 99,999,999 hours as just that.
  package static func encode(_ timeout: Duration) -> String {
    guard timeout > .zero else { return "0n" }
    let (seconds, attoseconds) = timeout.components
    guard seconds < 99_999_999 else {
      let hours = seconds / 3600 + 1
      let minutes = seconds / 60 + 1
      if minutes <= largestValue { return "\(minutes)M" }
      return "\(min(hours, largestValue))H"
    }
    let nanoseconds = (attoseconds + 999_999_999) / 1_000_000_000
    for (unit, perSecond) in [("n", 1_000_000_000), ("u", 1_000_000), ("m", 1000)] as [(String, Int64)] {
      let (whole, overflow) = seconds.multipliedReportingOverflow(by: perSecond)
      let nanosecondsEach = 1_000_000_000 / perSecond
      let value = whole &+ (nanoseconds + nanosecondsEach - 1) / nanosecondsEach
      if !overflow, value <= largestValue { return "\(value)\(unit)" }
    }
    return "\(seconds + (attoseconds > 0 ? 1 : 0))S"
  }

  private static let largestValue: Int64 = 99_999_999

  private static func malformed(_ text: String) -> DFSError {
    DFSError(.invalidArgument, "\"\(text.prefix(32))\" is no grpc-timeout")
  }
}
