import Glibc

/// Data under a lock that threads can wait on. Every change wakes all waiters.
final class Condition<Value>: @unchecked Sendable {
  // SAFETY: `value` is touched under `mutex` only; both pthread objects are allocated once, at addresses that
  // do not move, and freed when nobody can refer to them.
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let changed = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private var value: Value

  init(_ value: Value) {
    self.value = value
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(changed, nil)
  }

  deinit {
    pthread_cond_destroy(changed)
    pthread_mutex_destroy(mutex)
    changed.deallocate()
    mutex.deallocate()
  }

  /// Changes the value; `body` must not block.
  func withLock<Result>(_ body: (inout Value) throws -> Result) rethrows -> Result {
    pthread_mutex_lock(mutex)
    defer {
      pthread_cond_broadcast(changed)
      pthread_mutex_unlock(mutex)
    }
    return try body(&value)
  }

  /// Asks `body` now and after each change, until it answers.
  func wait<Result>(_ body: (inout Value) throws -> Result?) rethrows -> Result {
    pthread_mutex_lock(mutex)
    defer {
      pthread_cond_broadcast(changed)
      pthread_mutex_unlock(mutex)
    }
    while true {
      if let result = try body(&value) { return result }
      pthread_cond_wait(changed, mutex)
    }
  }
}
