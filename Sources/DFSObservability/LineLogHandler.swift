package import Foundation
package import Logging

/// Writes each event as one line: text for a person, or a JSON object for a machine.
///
/// A value with its own metadata and level, as swift-log asks; the sink is shared. Metadata is taken from the
/// logger, then from the task (request ids), then from the call, the later winning.
package struct LineLogHandler: LogHandler {
  package enum Format: String, Sendable, CaseIterable { case text, json }

  package var metadata: Logger.Metadata = [:]
  package var logLevel: Logger.Level
  package var metadataProvider: Logger.MetadataProvider?

  private let label: String
  private let format: Format
  private let sink: any LogSink
  private let now: @Sendable () -> Date

  package init(
    label: String, format: Format, level: Logger.Level, sink: any LogSink,
    metadataProvider: Logger.MetadataProvider? = nil, now: @escaping @Sendable () -> Date = { Date() }
  ) {
    self.label = label
    self.format = format
    logLevel = level
    self.sink = sink
    self.metadataProvider = metadataProvider
    self.now = now
  }

  package subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  package func log(event: LogEvent) {
    var fields = metadata
    if let provided = metadataProvider?.get() { fields.merge(provided) { $1 } }
    if let own = event.metadata { fields.merge(own) { $1 } }
    if let error = event.error, fields["error"] == nil { fields["error"] = "\(error)" }
    let line =
      switch format {
      case .text: TextLine.render(event, label: label, fields: fields, at: now())
      case .json: JSONLine.render(event, label: label, fields: fields, at: now())
      }
    sink.write(line)
  }
}

/// Where finished lines go; the line has no newline yet.
package protocol LogSink: Sendable {
  func write(_ line: String)
}

/// Standard error, a line per system call, so that lines of several threads never mix.
package struct StandardErrorSink: LogSink {
  package init() {}

  package func write(_ line: String) {
    var bytes = Array(line.utf8)
    bytes.append(UInt8(ascii: "\n"))
    // A log that can not be written has nowhere to be reported.
    try? FileHandle.standardError.write(contentsOf: bytes)
  }
}

private func timestamp(_ time: Date) -> String {
  time.formatted(Date.ISO8601FormatStyle(includingFractionalSeconds: true))
}

/// `2026-11-24T06:49:29.123Z info  dfs.coordinator: datanode is down node=00… silent_s=10`
enum TextLine {
  static func render(_ event: LogEvent, label: String, fields: Logger.Metadata, at time: Date) -> String {
    let level = event.level.rawValue
    let padding = String(repeating: " ", count: max(0, 8 - level.count))
    let pairs = fields.sorted { $0.key < $1.key }.map { " \($0.key)=\(quoted("\($0.value)"))" }.joined()
    return "\(timestamp(time)) \(level)\(padding) \(label): \(printable("\(event.message)"))\(pairs)"
  }

  /// Text from a peer may hold anything: control characters would forge lines or move the cursor.
  static func printable(_ text: String) -> String {
    guard text.unicodeScalars.contains(where: isControl) else { return text }
    return text.unicodeScalars.map { isControl($0) ? $0.escaped(asASCII: true) : String($0) }.joined()
  }

  private static func quoted(_ text: String) -> String {
    let plain = !text.isEmpty && !text.contains { $0 == " " || $0 == "\"" || $0 == "=" }
    return plain ? printable(text) : "\"\(printable(text).replacing("\"", with: "\\\""))\""
  }

  private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
    scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value)
  }
}

/// `{"time":…,"level":…,"logger":…,"message":…, metadata…}`; metadata of a reserved name gets an underscore.
enum JSONLine {
  private static let reserved: Set<String> = ["time", "level", "logger", "message"]

  static func render(_ event: LogEvent, label: String, fields: Logger.Metadata, at time: Date) -> String {
    var line = "{\"time\":\"\(timestamp(time))\",\"level\":\"\(event.level.rawValue)\""
    line += ",\"logger\":\(string(label)),\"message\":\(string("\(event.message)"))"
    for (key, value) in fields.sorted(by: { $0.key < $1.key }) {
      line += ",\(string(reserved.contains(key) ? key + "_" : key)):\(render(value))"
    }
    return line + "}"
  }

  private static func render(_ value: Logger.MetadataValue) -> String {
    switch value {
    case .string(let text): string(text)
    case .stringConvertible(let number as any BinaryInteger): "\(number)"
    case .stringConvertible(let flag as Bool): flag ? "true" : "false"
    case .stringConvertible(let other): string(other.description)
    case .array(let values): "[" + values.map(render).joined(separator: ",") + "]"
    case .dictionary(let fields):
      "{"
        + fields.sorted { $0.key < $1.key }.map { "\(string($0.key)):\(render($0.value))" }
        .joined(separator: ",") + "}"
    }
  }

  private static func string(_ text: String) -> String {
    var quoted = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": quoted += "\\\""
      case "\\": quoted += "\\\\"
      case "\n": quoted += "\\n"
      case "\t": quoted += "\\t"
      case _ where scalar.value < 0x20 || scalar.value == 0x7F:
        let digits = String(scalar.value, radix: 16)
        quoted += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: quoted.unicodeScalars.append(scalar)
      }
    }
    return quoted + "\""
  }
}
