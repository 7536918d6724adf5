package weather;

import org.springframework.ai.chat.client.ChatClient;
import org.springframework.ai.chat.client.advisor.MessageChatMemoryAdvisor;
import org.springframework.ai.chat.memory.ChatMemory;
import org.springframework.ai.chat.memory.MessageWindowChatMemory;
import org.springframework.ai.tool.annotation.Tool;
import org.springframework.boot.CommandLineRunner;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.context.annotation.Bean;

@SpringBootApplication
public class Weather {
    static class Tools {
        @Tool(name = "get_weather", description = "Weather of a city.")
        String getWeather(String city) {
            return "18C, rain in " + city;
        }
    }

    @Bean
    CommandLineRunner ask(ChatClient.Builder builder) {
        ChatMemory memory = MessageWindowChatMemory.builder().build();
        return args -> System.out.println(builder.build().prompt()
            .system("You are helpful.")
            .user("What is the weather in Paris?")
            .tools(new Tools())
            .advisors(MessageChatMemoryAdvisor.builder(memory).build())
            .advisors(a -> a.param(ChatMemory.CONVERSATION_ID, "session-1"))
            .call().content());
    }

    public static void main(String[] args) {
        SpringApplication.run(Weather.class, args).close();
    }
}
