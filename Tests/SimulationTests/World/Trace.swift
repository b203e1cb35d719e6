/// What happened, as lines for a person: the last ones are kept for a failing seed, and a number over all of
/// them tells two runs apart.
struct Trace {
  private var lines: [String] = []
  private var next = 0
  private let limit: Int
  private(set) var count = 0
  /// FNV-1a over every line.
  private(set) var fingerprint: UInt64 = 0xcbf2_9ce4_8422_2325

  init(keeping limit: Int) { self.limit = limit }

  mutating func note(_ line: String) {
    count += 1
    var line = line
    line.withUTF8 { bytes in
      for byte in bytes { fingerprint = (fingerprint ^ UInt64(byte)) &* 0x100_0000_01b3 }
    }
    if lines.count < limit {
      lines.append(line)
    } else {
      lines[next] = line
    }
    next = (next + 1) % limit
  }

  /// In order, the newest last.
  var last: [String] { lines.count < limit ? lines : Array(lines[next...] + lines[..<next]) }
}
