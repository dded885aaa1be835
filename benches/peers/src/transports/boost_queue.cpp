// Boost.Interprocess's message_queue as plain functions, for boost.rs.

#include <boost/interprocess/ipc/message_queue.hpp>

#include <cstddef>
#include <cstdint>

using boost::interprocess::message_queue;

// Calls `f`; what it throws becomes `otherwise`.
template <class R, class F> static R guarded(R otherwise, F f) noexcept {
    try {
        return f();
    } catch (...) {
        return otherwise;
    }
}

extern "C" {

void *boost_queue_create(const char *name, std::size_t depth, std::size_t len) {
    return guarded<message_queue *>(nullptr, [&] {
        return new message_queue(boost::interprocess::create_only, name, depth, len);
    });
}

void *boost_queue_open(const char *name) {
    return guarded<message_queue *>(
        nullptr, [&] { return new message_queue(boost::interprocess::open_only, name); });
}

void boost_queue_close(void *queue) { delete static_cast<message_queue *>(queue); }

bool boost_queue_remove(const char *name) {
    return guarded(false, [&] { return message_queue::remove(name); });
}

bool boost_queue_send(void *queue, const std::uint8_t *message, std::size_t len) {
    return guarded(false, [&] {
        static_cast<message_queue *>(queue)->send(message, len, 0);
        return true;
    });
}

std::size_t boost_queue_receive(void *queue, std::uint8_t *place, std::size_t len) {
    return guarded<std::size_t>(SIZE_MAX, [&] {
        message_queue::size_type got = 0;
        unsigned int priority = 0;
        static_cast<message_queue *>(queue)->receive(place, len, got, priority);
        return std::size_t(got);
    });
}

}
