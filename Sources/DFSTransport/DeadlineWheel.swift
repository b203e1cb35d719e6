/// Something that has to happen at a time unless it is cancelled. Confined to the loop of its wheel.
package final class DeadlineEntry {
  fileprivate var action: (() -> Void)?
  fileprivate let tick: Int
  fileprivate var next: DeadlineEntry?
  // The list holds its entries by `next`; the way back must not hold them a second time.
  fileprivate weak var wheel: DeadlineWheel?
  fileprivate unowned(unsafe) var previous: DeadlineEntry?

  fileprivate init(tick: Int, wheel: DeadlineWheel, action: @escaping () -> Void) {
    self.tick = tick
    self.wheel = wheel
    self.action = action
  }

  /// Takes constant time; harmless when it has happened already.
  package func cancel() {
    guard action != nil else { return }
    action = nil
    wheel?.remove(self)
  }
}

/// Many deadlines, few of which are ever met: adding and cancelling take constant time and no system
/// call. NIO's own timers search a heap to cancel. A deadline is met up to one tick late, never early.
final class DeadlineWheel {
  static let tick = Duration.milliseconds(10)
  private static let slotCount = 1024

  private var slots = [DeadlineEntry?](repeating: nil, count: slotCount)
  private(set) var count = 0
  private var current: Int

  /// Times are durations since any one moment.
  init(now: Duration) { current = Self.ticks(now) }

  private static func ticks(_ time: Duration) -> Int { Int(time.nanoseconds / tick.nanoseconds) }

  func add(at time: Duration, now: Duration, _ action: @escaping () -> Void) -> DeadlineEntry {
    if count == 0 { current = max(current, Self.ticks(now)) }
    let entry = DeadlineEntry(tick: max(Self.ticks(time) + 1, current + 1), wheel: self, action: action)
    let slot = entry.tick % Self.slotCount
    entry.next = slots[slot]
    // SAFETY: `previous` points to an entry that is in the list, and `remove` clears it before that one
    // leaves.
    slots[slot]?.previous = entry
    slots[slot] = entry
    count += 1
    return entry
  }

  fileprivate func remove(_ entry: DeadlineEntry) {
    if let previous = entry.previous {
      previous.next = entry.next
    } else {
      slots[entry.tick % Self.slotCount] = entry.next
    }
    entry.next?.previous = entry.previous
    entry.next = nil
    entry.previous = nil
    count -= 1
  }

  /// Does what is due at `now`.
  func advance(to now: Duration) {
    let target = Self.ticks(now)
    guard target > current else { return }
    // After a long pause one turn of the wheel visits every slot.
    let first = max(current + 1, target - Self.slotCount + 1)
    current = target
    for tick in first...target {
      var entry = slots[tick % Self.slotCount]
      while let due = entry {
        // An action may cancel others, so the next is looked up only after it has run when the list changed.
        entry = due.next
        guard due.tick <= target, let action = due.action else { continue }
        due.action = nil
        remove(due)
        action()
        if entry?.wheelIsGone ?? false { entry = slots[tick % Self.slotCount] }
      }
    }
  }
}

extension DeadlineEntry {
  /// Whether the entry has left its list while its predecessor's action ran.
  fileprivate var wheelIsGone: Bool { action == nil }
}
