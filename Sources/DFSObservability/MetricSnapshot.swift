/// The metrics of a process at one moment.
package struct MetricSnapshot: Sendable {
  /// A label with its dimensions in a fixed order.
  package struct Name: Hashable, Sendable, Comparable, CustomStringConvertible {
    package struct Dimension: Hashable, Sendable { package var name, value: String }

    package let label: String
    package let dimensions: [Dimension]

    package init(_ label: String, _ dimensions: [(String, String)] = []) {
      self.label = label
      self.dimensions = dimensions.map { Dimension(name: $0.0, value: $0.1) }.sorted { $0.name < $1.name }
    }

    /// `dfs_rpc_calls_total{code="OK",side="server"}`
    package var description: String {
      guard !dimensions.isEmpty else { return label }
      return label + "{" + dimensions.map { "\($0.name)=\"\($0.value)\"" }.joined(separator: ",") + "}"
    }

    package static func < (left: Self, right: Self) -> Bool { left.description < right.description }
  }

  package enum Value: Sendable, Equatable {
    case counter(Double)
    case gauge(Double)
    case distribution(Distribution)
  }

  package var values: [Name: Value]

  /// The sum of a counter's or a gauge's series of this label that have all the given dimensions.
  package func total(_ label: String, _ dimensions: [String: String] = [:]) -> Double {
    values.reduce(0) { sum, entry in
      guard entry.key.label == label else { return sum }
      let own = Dictionary(entry.key.dimensions.map { ($0.name, $0.value) }) { $1 }
      guard dimensions.allSatisfy({ own[$0.key] == $0.value }) else { return sum }
      switch entry.value {
      case .counter(let value), .gauge(let value): return sum + value
      case .distribution(let values): return sum + Double(values.count)
      }
    }
  }

  package func distribution(_ label: String, _ dimensions: [(String, String)] = []) -> Distribution? {
    guard case .distribution(let values)? = values[Name(label, dimensions)] else { return nil }
    return values
  }
}

/// How many values fell where: eight buckets an octave, so a quantile is at most one eighth off. Timers
/// record nanoseconds. Takes 4 KiB at most, however many values are added.
package struct Distribution: Sendable, Equatable {
  private static let perOctave = 8
  private static let octaves = 64

  package private(set) var count = 0
  package private(set) var sum = 0.0
  package private(set) var largest = 0.0
  /// Grows to the largest bucket that was used.
  private var buckets: [Int] = []

  package init() {}

  /// Negative values count as zero; what is not a number is left out.
  package mutating func add(_ value: Double) {
    guard value.isFinite else { return }
    let value = max(0, value)
    let index = Self.bucket(of: value)
    if index >= buckets.count { buckets += Array(repeating: 0, count: index + 1 - buckets.count) }
    buckets[index] += 1
    count += 1
    sum += value
    largest = max(largest, value)
  }

  package var mean: Double { count == 0 ? 0 : sum / Double(count) }

  /// The value below which `fraction` of the values lie, rounded up to its bucket's end; 0 without values.
  package func quantile(_ fraction: Double) -> Double {
    guard count > 0 else { return 0 }
    let wanted = max(1, Int((Double(count) * fraction).rounded(.up)))
    var seen = 0
    for (index, number) in buckets.enumerated() {
      seen += number
      if seen >= wanted { return min(Self.end(of: index), largest) }
    }
    return largest
  }

  private static func bucket(of value: Double) -> Int {
    guard value >= 1 else { return 0 }
    let octave = min(Int(value.exponent), octaves - 1)
    let step = octave < octaves - 1 ? Int((value.significand - 1) * Double(perOctave)) : perOctave - 1
    return 1 + octave * perOctave + step
  }

  private static func end(of bucket: Int) -> Double {
    guard bucket > 0 else { return 1 }
    let (octave, step) = ((bucket - 1) / perOctave, (bucket - 1) % perOctave)
    return Double(sign: .plus, exponent: octave, significand: 1 + Double(step + 1) / Double(perOctave))
  }
}
