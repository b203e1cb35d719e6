package import DFSCore

/// One line of the table of settings: what it is called, what it means, and which values are allowed.
///
/// The table is the only place that knows names, units, defaults and ranges. Reading, checking, the messages,
/// `cluster.example.yaml` and the documentation are all derived from it.
package struct SettingKey: Sendable {
  /// What a value may be. Sizes are written `8MiB`, times `10s`, `500ms`, `5m`, `24h` or `7d`.
  package enum Kind: Sendable {
    case bytes(ClosedRange<ByteCount>)
    case chunkSize
    case count(ClosedRange<Int>)
    case duration(ClosedRange<Duration>)
    case flag
    case choice([String])
    /// One `HOST:PORT`; empty where the default is empty.
    case endpoint(defaultPort: Int)
    /// A list of `HOST:PORT`, at least one. The port is never guessed: a list goes to many machines.
    case endpoints
    /// A path in the local file system, or empty for none.
    case path
    /// A short name without spaces, or empty for none.
    case word
  }

  /// Dotted, `snake_case`: `coordinator.chunk_size`. The part before the dot is the YAML section.
  package let name: String
  package let kind: Kind
  /// As it is written in the YAML file; empty for "none".
  package let standard: String
  /// One sentence that says what the setting does, without a full stop.
  package let summary: String

  init(_ name: String, _ kind: Kind, _ standard: String, _ summary: String) {
    self.name = name
    self.kind = kind
    self.standard = standard
    self.summary = summary
  }

  package var components: [String] { name.split(separator: ".").map(String.init) }
  package var section: String? { components.count > 1 ? components[0] : nil }
  /// `DFS_COORDINATOR_CHUNK_SIZE` for `coordinator.chunk_size`.
  package var environmentName: String {
    "DFS_" + name.uppercased().replacing(".", with: "_")
  }

  /// The unit and the allowed values in words, as the example file and the messages print them.
  package var range: String {
    switch kind {
    case .bytes(let range): "bytes, \(range.lowerBound) to \(range.upperBound)"
    case .chunkSize: "bytes, 64 KiB times a power of two, up to 64 MiB"
    case .count(let range): "number, \(range.lowerBound) to \(range.upperBound)"
    case .duration(let range): "time, \(write(range.lowerBound)) to \(write(range.upperBound))"
    case .flag: "true or false"
    case .choice(let names): names.joined(separator: ", ")
    case .endpoint: standard.isEmpty ? "HOST:PORT, or empty" : "HOST:PORT"
    case .endpoints: "list of HOST:PORT"
    case .path: standard.isEmpty ? "path, or empty" : "path"
    case .word: standard.isEmpty ? "name without spaces, or empty" : "name without spaces"
    }
  }
}

/// A value that was read and found to be of its key's kind and in its key's range.
enum SettingValue: Equatable {
  case bytes(ByteCount)
  case chunkSize(ChunkSize)
  case count(Int)
  case duration(Duration)
  case flag(Bool)
  case text(String)
  case endpoints([Endpoint])
}

extension SettingKey {
  /// Reads `text`. Throws `.invalidArgument` whose message says what is wrong, without the key's name.
  func value(of text: String) throws -> SettingValue {
    func refuse(_ why: String) -> DFSError { DFSError(.invalidArgument, why) }
    func within<Value: Comparable>(_ value: Value?, _ range: ClosedRange<Value>) throws -> Value {
      guard let value else { throw refuse("\"\(text)\" is not allowed: write \(self.range)") }
      guard range.contains(value) else { throw refuse("\(text) is out of range: \(self.range)") }
      return value
    }
    if text.isEmpty, !standard.isEmpty { throw refuse("has no value: write \(range)") }
    switch kind {
    case .bytes(let range): return .bytes(try within(ByteCount(text), range))
    case .chunkSize:
      guard let size = ByteCount(text).flatMap({ ChunkSize(bytes: Int($0.rawValue)) }) else {
        throw refuse("\"\(text)\" is not allowed: write \(range)")
      }
      return .chunkSize(size)
    case .count(let range): return .count(try within(Int(text), range))
    case .duration(let range): return .duration(try within(readDuration(text), range))
    case .flag:
      switch text.lowercased() {
      case "true", "yes", "on", "1": return .flag(true)
      case "false", "no", "off", "0": return .flag(false)
      default: throw refuse("\"\(text)\" is not allowed: write \(range)")
      }
    case .choice(let names):
      guard names.contains(text.lowercased()) else {
        throw refuse("\"\(text)\" is not one of \(names.joined(separator: ", "))")
      }
      return .text(text.lowercased())
    case .endpoint(let port):
      return .endpoints(text.isEmpty ? [] : [try Endpoint(text, defaultPort: port)])
    case .endpoints:
      let parts = text.split(separator: ",", omittingEmptySubsequences: false).map { trim($0) }
      return .endpoints(try parts.map { try Endpoint($0) })
    case .path:
      guard !text.utf8.contains(0) else { throw refuse("a path may not contain NUL") }
      return .text(text)
    case .word:
      guard text.utf8.count <= 255, !text.contains(where: { $0.isWhitespace || $0 == "," }) else {
        throw refuse("\"\(text)\" is not a name without spaces")
      }
      return .text(text)
    }
  }
}

func trim(_ text: some StringProtocol) -> String {
  let start = text.drop { $0.isWhitespace }
  guard let last = start.lastIndex(where: { !$0.isWhitespace }) else { return "" }
  return String(start[...last])
}

/// Units of time from the longest down: the name, and its length in nanoseconds.
private let timeUnits: [(name: String, nanoseconds: Int64)] = [
  ("d", 86_400_000_000_000), ("h", 3_600_000_000_000), ("m", 60_000_000_000), ("s", 1_000_000_000),
  ("ms", 1_000_000), ("us", 1000), ("ns", 1),
]

/// Reads `10s`, `500ms`, `5m`; `0` needs no unit. `nil` for anything else or an overflow.
func readDuration(_ text: String) -> Duration? {
  if text == "0" { return .zero }
  let digits = text.prefix { $0.isASCII && $0.isNumber }
  let name = text.dropFirst(digits.count).drop { $0 == " " }
  guard let count = Int64(digits), let unit = timeUnits.first(where: { $0.name == name }) else { return nil }
  let (nanoseconds, overflow) = count.multipliedReportingOverflow(by: unit.nanoseconds)
  return overflow ? nil : .nanoseconds(nanoseconds)
}

/// Writes a duration in the longest unit that divides it, so that `readDuration` reads the same again.
func write(_ duration: Duration) -> String {
  let (seconds, attoseconds) = duration.components
  let nanoseconds = seconds * 1_000_000_000 + attoseconds / 1_000_000_000
  guard nanoseconds != 0 else { return "0s" }
  guard let unit = timeUnits.first(where: { nanoseconds % $0.nanoseconds == 0 }) else {
    return "\(nanoseconds)ns"
  }
  return "\(nanoseconds / unit.nanoseconds)\(unit.name)"
}
