import Metrics
import TestSupport
import Testing

@testable import DFSObservability

struct MemoryMetricsTests {
  private let metrics = MemoryMetrics()

  @Test func `a counter of the same label and dimensions is one series, in any order of dimensions`() {
    Counter(label: "c", dimensions: [("a", "1"), ("b", "2")], factory: metrics).increment(by: 3)
    Counter(label: "c", dimensions: [("b", "2"), ("a", "1")], factory: metrics).increment()
    Counter(label: "c", dimensions: [("a", "9")], factory: metrics).increment(by: 10)
    let snapshot = metrics.snapshot()
    #expect(snapshot.values.count == 2)
    #expect(snapshot.total("c") == 14)
    #expect(snapshot.total("c", ["a": "1"]) == 4)
    #expect(snapshot.total("other") == 0)
    #expect(snapshot.values.keys.sorted().map(\.description) == ["c{a=\"1\",b=\"2\"}", "c{a=\"9\"}"])
  }

  @Test func `a gauge keeps its last value and a meter moves both ways`() {
    let gauge = Gauge(label: "g", factory: metrics)
    gauge.record(5)
    gauge.record(2.5)
    let meter = Meter(label: "m", factory: metrics)
    meter.increment(by: 4)
    meter.decrement(by: 1)
    #expect(metrics.snapshot().total("g") == 2.5)
    #expect(metrics.snapshot().total("m") == 3)
  }

  @Test func `a timer gives quantiles`() throws {
    let timer = Timer(label: "t", factory: metrics)
    for milliseconds in 1...1000 { timer.recordMilliseconds(Int64(milliseconds)) }
    let values = try #require(metrics.snapshot().distribution("t"))
    #expect(values.count == 1000)
    #expect((500e6...563e6).contains(values.quantile(0.5)))
    #expect((990e6...1000e6).contains(values.quantile(0.99)))
    #expect(values.quantile(1) == 1000e6)
    #expect(values.mean == 500.5e6)
  }

  @Test func `a destroyed series starts again at nothing`() {
    let counter = Counter(label: "c", factory: metrics)
    counter.increment()
    counter.destroy()
    #expect(metrics.snapshot().values.isEmpty)
  }

  @Test func `dimensions that run wild do not grow the memory`() {
    for number in 0..<(MemoryMetrics.seriesLimit + 50) {
      Counter(label: "c", dimensions: [("n", String(number))], factory: metrics).increment()
    }
    #expect(metrics.snapshot().values.count == MemoryMetrics.seriesLimit)
  }

  @Test func `concurrent increments are all counted`() async {
    await withTaskGroup(of: Void.self) { group in
      for _ in 0..<8 {
        group.addTask {
          for _ in 0..<1000 { Counter(label: "c", factory: metrics).increment() }
        }
      }
    }
    #expect(metrics.snapshot().total("c") == 8000)
  }
}

struct DistributionTests {
  @Test func `a quantile is never below the true one and at most an eighth above`() {
    var random = SeededGenerator()
    print("seed \(random.seed)")
    var values: [Double] = []
    var distribution = Distribution()
    for _ in 0..<5000 {
      let value = Double(
        UInt64.random(in: 1...(1 << UInt64.random(in: 1...40, using: &random)), using: &random))
      values.append(value)
      distribution.add(value)
    }
    values.sort()
    for fraction in [0.01, 0.25, 0.5, 0.9, 0.99, 0.999, 1] {
      let exact = values[max(0, Int((5000 * fraction).rounded(.up)) - 1)]
      let got = distribution.quantile(fraction)
      #expect(got >= exact && got <= exact * 1.126, "\(fraction): \(got) for \(exact)")
    }
  }

  @Test func `extreme values are kept in bounds`() {
    var distribution = Distribution()
    #expect(distribution.quantile(0.5) == 0 && distribution.mean == 0)
    for value in [-5, 0, .infinity, .nan, 1e300, .greatestFiniteMagnitude] { distribution.add(value) }
    #expect(distribution.count == 4)
    #expect(distribution.quantile(1) <= .greatestFiniteMagnitude)
    #expect(distribution.quantile(0.5) == 1)
  }
}
