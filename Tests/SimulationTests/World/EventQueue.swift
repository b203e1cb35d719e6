/// What happens next: events in order of their time, and those of one time in the order they were asked for.
/// A binary heap.
struct EventQueue {
  private struct Event {
    var at: Moment
    var sequence: UInt64
    var run: () -> Void

    static func < (left: Self, right: Self) -> Bool {
      left.at == right.at ? left.sequence < right.sequence : left.at < right.at
    }
  }

  private var heap: [Event] = []
  private var nextSequence: UInt64 = 0

  var count: Int { heap.count }
  var nextTime: Moment? { heap.first?.at }

  mutating func add(at time: Moment, _ run: @escaping () -> Void) {
    heap.append(Event(at: time, sequence: nextSequence, run: run))
    nextSequence += 1
    var child = heap.count - 1
    while child > 0 {
      let parent = (child - 1) / 2
      guard heap[child] < heap[parent] else { return }
      heap.swapAt(child, parent)
      child = parent
    }
  }

  mutating func take() -> (at: Moment, run: () -> Void)? {
    guard let first = heap.first else { return nil }
    let last = heap.removeLast()
    if !heap.isEmpty {
      heap[0] = last
      sink()
    }
    return (first.at, first.run)
  }

  private mutating func sink() {
    var parent = 0
    while true {
      var child = 2 * parent + 1
      guard child < heap.count else { return }
      if child + 1 < heap.count, heap[child + 1] < heap[child] { child += 1 }
      guard heap[child] < heap[parent] else { return }
      heap.swapAt(child, parent)
      parent = child
    }
  }

  /// Nothing happens any more. The events hold what they are about, so a world that is over lets go of them.
  mutating func removeAll() { heap = [] }
}

/// A time of the world: milliseconds since its beginning.
struct Moment: Hashable, Comparable, CustomStringConvertible {
  var milliseconds: Int64

  static let start = Moment(milliseconds: 0)
  static func < (left: Self, right: Self) -> Bool { left.milliseconds < right.milliseconds }
  static func + (moment: Self, span: Span) -> Self {
    Moment(milliseconds: moment.milliseconds + span.milliseconds)
  }
  static func - (left: Self, right: Self) -> Span {
    Span(milliseconds: left.milliseconds - right.milliseconds)
  }
  /// Days, hours, minutes, seconds.
  var description: String {
    func two(_ number: Int64) -> String { number < 10 ? "0\(number)" : "\(number)" }
    let seconds = milliseconds / 1000
    let thousandths = String(1000 + milliseconds % 1000).dropFirst()
    return "\(seconds / 86_400)d \(two(seconds / 3600 % 24)):\(two(seconds / 60 % 60)):\(two(seconds % 60))"
      + ".\(thousandths)"
  }
}

/// A length of the world's time.
struct Span: Hashable, Comparable {
  var milliseconds: Int64

  static func < (left: Self, right: Self) -> Bool { left.milliseconds < right.milliseconds }
  static func milliseconds(_ count: Int) -> Span { Span(milliseconds: Int64(count)) }
  static func seconds(_ count: Int) -> Span { Span(milliseconds: Int64(count) * 1000) }
  static func minutes(_ count: Int) -> Span { seconds(60 * count) }
  static func hours(_ count: Int) -> Span { seconds(3600 * count) }
  static func days(_ count: Int) -> Span { hours(24 * count) }
  static func + (left: Self, right: Self) -> Self {
    Span(milliseconds: left.milliseconds + right.milliseconds)
  }
  static func * (span: Span, count: Int) -> Span { Span(milliseconds: span.milliseconds * Int64(count)) }
  static func / (span: Span, count: Int) -> Span { Span(milliseconds: span.milliseconds / Int64(count)) }
  var duration: Duration { .milliseconds(milliseconds) }

  init(milliseconds: Int64) { self.milliseconds = milliseconds }
  init(_ duration: Duration) {
    let (seconds, attoseconds) = duration.components
    milliseconds = seconds * 1000 + attoseconds / 1_000_000_000_000_000
  }
}
