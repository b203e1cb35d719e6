import DFSCore
import Testing

struct MemoryBudgetTests {
  @Test func `what is taken is back when the last holder lets go, and no more is given than there is`() {
    let budget = MemoryBudget(.kib(10))
    var first = budget.take(6 << 10)
    let copy = first
    #expect(first != nil)
    #expect(budget.take(5 << 10) == nil)
    #expect(budget.take(4 << 10) != nil)
    #expect(budget.available == 4 << 10)
    first = nil
    #expect(budget.available == 4 << 10)
    withExtendedLifetime(copy) {}
  }

  @Test func `many threads never have more than all of it, and all of it is there in the end`() async {
    let budget = MemoryBudget(ByteCount(100))
    await withTaskGroup(of: Void.self) { group in
      for size in 1...8 {
        group.addTask {
          for _ in 0..<5000 {
            let loan = budget.take(size * 10)
            #expect(loan == nil || budget.available <= 100 - size * 10)
            withExtendedLifetime(loan) {}
          }
        }
      }
    }
    #expect(budget.available == 100)
  }
}
