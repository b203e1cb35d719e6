import CNghttp2

/// Keeps message buffers in the heap. By default glibc maps each large buffer anew and the kernel zeroes it:
/// receiving cost 0.45 CPU s/GiB that way, 0.27 with this.
enum AllocatorTuning {
  /// Idempotent: settings of the C library hold for the whole process.
  static func apply() { _ = applied }

  private static let applied: Bool = {
    // Above the largest message (4 MiB) with its framing.
    let mapped = mallopt(M_MMAP_THRESHOLD, 8 << 20)
    // So much free memory stays at a heap's top instead of going back to the system. That is the most a thread's heap
    // has, so what threads held at their busiest is kept: it is bounded by the budgets, and needed again in a moment.
    let kept = mallopt(M_TOP_PAD, 64 << 20)
    // Less than this is not even looked at.
    let trimmed = mallopt(M_TRIM_THRESHOLD, 32 << 20)
    return mapped == 1 && kept == 1 && trimmed == 1
  }()
}
