package import Metrics
import Synchronization

/// Keeps every metric of the process in memory, so that `status`, `bench` and tests can read what was
/// recorded.
///
/// The same label and dimensions always give the same series. At most `seriesLimit` series are kept; those
/// made after that share one that is not shown, so a dimension that runs wild can not eat the memory.
package final class MemoryMetrics: MetricsFactory {
  package static let seriesLimit = 10_000

  private let series = Mutex<[MetricSnapshot.Name: MetricSeries]>([:])
  private let overflow = MetricSeries(kind: .counter)

  package init() {}

  /// What every series holds now, ordered by name. Counters and distributions are not reset.
  package func snapshot() -> MetricSnapshot {
    let all = series.withLock { $0 }
    return MetricSnapshot(values: all.mapValues { $0.value })
  }

  private func find(_ label: String, _ dimensions: [(String, String)], _ kind: MetricSeries.Kind)
    -> MetricSeries
  {
    let name = MetricSnapshot.Name(label, dimensions)
    return series.withLock { series in
      if let known = series[name] { return known }
      guard series.count < Self.seriesLimit else { return overflow }
      let made = MetricSeries(kind: kind)
      series[name] = made
      return made
    }
  }

  private func forget(_ handler: AnyObject) {
    series.withLock { series in
      if let name = series.first(where: { $0.value === handler })?.key { series[name] = nil }
    }
  }

  package func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
    find(label, dimensions, .counter)
  }

  package func makeFloatingPointCounter(
    label: String, dimensions: [(String, String)]
  ) -> any FloatingPointCounterHandler {
    find(label, dimensions, .counter)
  }

  package func makeMeter(label: String, dimensions: [(String, String)]) -> any MeterHandler {
    find(label, dimensions, .gauge)
  }

  package func makeRecorder(
    label: String, dimensions: [(String, String)], aggregate: Bool
  ) -> any RecorderHandler {
    find(label, dimensions, aggregate ? .distribution : .gauge)
  }

  package func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
    find(label, dimensions, .distribution)
  }

  package func destroyCounter(_ handler: any CounterHandler) { forget(handler) }
  package func destroyFloatingPointCounter(_ handler: any FloatingPointCounterHandler) { forget(handler) }
  package func destroyMeter(_ handler: any MeterHandler) { forget(handler) }
  package func destroyRecorder(_ handler: any RecorderHandler) { forget(handler) }
  package func destroyTimer(_ handler: any TimerHandler) { forget(handler) }
}

/// One series, whatever its kind: a counter adds, a gauge keeps the last value, a distribution counts by
/// size.
final class MetricSeries: CounterHandler, FloatingPointCounterHandler, MeterHandler, RecorderHandler,
  TimerHandler
{
  enum Kind { case counter, gauge, distribution }

  private struct State {
    var number = 0.0
    var distribution = Distribution()
  }

  private let kind: Kind
  private let state = Mutex(State())

  init(kind: Kind) { self.kind = kind }

  var value: MetricSnapshot.Value {
    state.withLock { state in
      switch kind {
      case .counter: .counter(state.number)
      case .gauge: .gauge(state.number)
      case .distribution: .distribution(state.distribution)
      }
    }
  }

  func increment(by amount: Int64) { increment(by: Double(amount)) }
  func increment(by amount: Double) { state.withLock { $0.number += amount } }
  func decrement(by amount: Double) { state.withLock { $0.number -= amount } }
  func reset() { state.withLock { $0 = State() } }
  func set(_ value: Int64) { set(Double(value)) }
  func set(_ value: Double) { state.withLock { $0.number = value } }
  func record(_ value: Int64) { record(Double(value)) }

  func record(_ value: Double) {
    state.withLock { state in
      if kind == .distribution { state.distribution.add(value) } else { state.number = value }
    }
  }

  func recordNanoseconds(_ duration: Int64) { record(duration) }
}
